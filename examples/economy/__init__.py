"""The economy of compute credits, played on the real contracts: providers who serve, vanish, wash-trade, over-mint and burn."""
