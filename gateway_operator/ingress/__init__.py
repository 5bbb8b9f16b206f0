"""The gateway pod's own half: cluster objects in, a running nginx out.

informers (`sources`) → `graph` → `plan` → text (`render`) → files (`generation`) → `supervisor` in nginx's container
→ `status`. The middle is pure: equal objects give equal bytes.
"""
