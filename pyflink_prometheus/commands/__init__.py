"""The commands for operators, one module each; none of them imports PyFlink."""
