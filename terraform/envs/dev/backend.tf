# State in S3, encrypted, one writer at a time. Bucket, table and region are yours: terraform init -backend-config=backend.hcl
# (see backend.hcl.example; terraform/bootstrap makes bucket and table).
terraform {
  backend "s3" {
    key     = "fraudstream/dev.tfstate"
    encrypt = true
  }
}
