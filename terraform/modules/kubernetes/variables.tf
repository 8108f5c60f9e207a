variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the nodes."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts the cluster's secrets, disks and logs."
  type        = string
}

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string
  default     = "1.34"
  validation {
    condition     = can(regex("^1\\.(2[7-9]|[3-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be 1.27 or later: the chart needs it."
  }
}

variable "nodes" {
  description = "Nodes: instance types, least and most of them, disk of each in GiB."
  type = object({
    instance_types = optional(list(string), ["m7i.large"])
    minimum        = optional(number, 2)
    maximum        = optional(number, 6)
    disk_gib       = optional(number, 50)
  })
  default = {}
  validation {
    condition     = var.nodes.minimum >= 1 && var.nodes.minimum <= var.nodes.maximum
    error_message = "nodes: minimum must be at least 1 and not above maximum."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles that administer the cluster."
  type        = set(string)
  default     = []
}

variable "log_retention_days" {
  description = "Days that the control plane's logs are kept."
  type        = number
  default     = 365
}
