"""Technology that several features share, such as logging; features meet it through their ports."""
