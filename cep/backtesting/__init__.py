"""Rules scored against labelled data: `cep.backtest` and `cep.sweep`."""
