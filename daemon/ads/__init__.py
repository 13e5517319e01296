"""What the display shows between payments: chosen by rule, decoded where it can do no harm, and proven to have been."""
