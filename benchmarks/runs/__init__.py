"""One run: built, trained, tested, resumed, published and loaded again."""
