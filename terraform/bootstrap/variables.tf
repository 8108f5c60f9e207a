variable "region" {
  description = "AWS region of the states."
  type        = string
  default     = "eu-central-1"
}
