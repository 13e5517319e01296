"""What payer, clerk and technician see: views say what, text puts it into words, scene lays it out, render draws it."""
