"""Programs for whoever works on the project: lanes of tests, generated pages and tables. Nothing of the product imports them."""
