"""What people see: results on a terminal, and everything in a notebook (`_repr_html_`)."""
