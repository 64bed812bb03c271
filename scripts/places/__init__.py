"""The bundled sample: real places that share a name, told apart by their flags."""
