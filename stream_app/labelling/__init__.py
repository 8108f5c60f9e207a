"""Labels as others report them, in a topic of their own: what each says, the payment that it means, and the label that is published."""
