"""Orders, menus, money and times as frozen values and pure functions. Nothing here does I/O."""
