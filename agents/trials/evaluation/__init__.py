"""How good the scores are on real purchases, beside what else could have been used."""
