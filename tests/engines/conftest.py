def pytest_configure(config):
    config.addinivalue_line("markers", "engine: starts a real engine, which takes tens of seconds")
