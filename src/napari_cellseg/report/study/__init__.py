"""Several systems on the same split with the same metrics: what is compared, how it went, what it means."""
