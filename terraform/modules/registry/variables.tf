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

variable "keep" {
  description = "Images that are kept in each repository."
  type        = number
  default     = 30
  validation {
    condition     = var.keep >= 2
    error_message = "keep must be at least 2: without the one before, nothing can be rolled back."
  }
}
