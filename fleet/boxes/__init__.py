"""The boxes of a fleet, and what is signed for them and by them: tickets, commands, rosters, evidence."""
