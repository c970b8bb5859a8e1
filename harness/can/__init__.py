"""Frames: recorded, read from other tools' files, decoded, encoded, protected, named by VSS paths."""
