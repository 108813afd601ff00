"""Sweeps with what belongs to them, each in a folder: its sweep file, its data, its sections of the report."""
