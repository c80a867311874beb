"""The asyncio SDK for fleets of Enapter devices."""
