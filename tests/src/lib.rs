//! End-to-end proof: scenarios through every door, the oracle, crashes, the tidy test.
