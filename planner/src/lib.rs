//! From an incident to verified candidates: evidence, known-good memory, four sources, verification, explanation.
