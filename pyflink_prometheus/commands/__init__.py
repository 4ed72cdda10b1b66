"""The commands for operators, a module each; none of them imports PyFlink."""
