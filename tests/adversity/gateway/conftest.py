from tests.support.gateway_fixtures import gateway, start_gateway

__all__ = ["gateway", "start_gateway"]
