"""One module per kind of cloud. Plugins never import each other; `provisioner.plugin.load` finds them."""
