"""What a platform consists of, as `platform.yaml` declares it."""
