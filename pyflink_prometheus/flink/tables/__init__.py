"""The operators for tables: functions from a table and names of columns to a table."""
