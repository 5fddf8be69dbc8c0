"""What notebooks and editors need: the cell magic `%%cep`, and colours for rules."""
