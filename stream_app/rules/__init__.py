"""Rules and lists beside the model: a language compiled to arrays, releases, lists, and the order of power among them."""
