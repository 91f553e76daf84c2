from tests.support.gateway_fixtures import gateway, sender, start_gateway

__all__ = ["gateway", "sender", "start_gateway"]
