"""Reading files of tensors, tables and numbers without trusting what they say of themselves."""
