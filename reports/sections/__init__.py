"""The sections of a report, one file each: material in, a section or None out."""
