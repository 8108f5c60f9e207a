plugin "terraform" {
  enabled = true
  preset  = "all"
}

# main.tf, variables.tf and outputs.tf are there; what makes a component of its own has a file of its own.
rule "terraform_standard_module_structure" {
  enabled = false
}
