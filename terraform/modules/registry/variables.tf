variable "name" {
  description = "Prefix of the repositories."
  type        = string
}

variable "images" {
  description = "Images, each with a repository of its own: targets of the Dockerfile."
  type        = set(string)
  default     = ["worker", "training", "mlflow"]
}

variable "kms_key_arn" {
  description = "Key that encrypts the images."
  type        = string
}

variable "untagged_days" {
  description = "Days that an image without a tag is kept. Tagged ones stay until somebody removes them."
  type        = number
  default     = 30
  validation {
    condition     = var.untagged_days >= 1
    error_message = "untagged_days must be at least 1: a push has its parts before its tag."
  }
}
