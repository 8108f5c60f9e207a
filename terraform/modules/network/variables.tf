variable "name" {
  description = "Prefix of all names."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "cidr" {
  description = "Address range of the VPC; a /16 leaves room for a /20 a subnet."
  type        = string
  default     = "10.40.0.0/16"
  validation {
    condition     = can(cidrnetmask(var.cidr)) && tonumber(split("/", var.cidr)[1]) <= 18
    error_message = "cidr must be an IPv4 range of at least /18."
  }
}

variable "availability_zones" {
  description = "Zones to spread over, two or three; Kafka gets a broker in each."
  type        = list(string)
  validation {
    condition     = contains([2, 3], length(var.availability_zones)) && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones must name two or three different zones."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone in place of one in all: no zone depends on another, at the price of one gateway each."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "Key that encrypts the flow logs."
  type        = string
}
