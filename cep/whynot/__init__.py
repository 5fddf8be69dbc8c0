"""Why a pattern did not match: the runs that came nearest, what they lacked, what ended them."""
