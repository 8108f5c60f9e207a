"""What a source of payments holds: its columns, what each is to us, what would be refused and why, what looks wrong, and a mapping to edit."""
