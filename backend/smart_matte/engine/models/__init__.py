"""The networks: nn.Modules and nothing else. Tensors are (N, C, H, W) in here."""
