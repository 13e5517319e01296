"""What a payer, a clerk or a technician sees: views say what, text says it in their language, scene lays it out, render draws it."""
