"""What the operators do, as tables: functions from a table and names of columns to a table."""
