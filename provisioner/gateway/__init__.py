"""What a buyer's members reach over TLS: their setup, sealed connection data, power and console."""
