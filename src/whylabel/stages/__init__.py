"""The work of training: the reasoner, its reasonings, the classifier. They never import each other."""
