"""What people see and hear of the box, kept up to date by threads."""
