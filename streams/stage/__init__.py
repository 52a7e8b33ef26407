"""What becomes of a window of frames, from bytes to acknowledged outcomes. Knows no Faust and no consumer."""
