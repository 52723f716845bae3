"""The pure rules of access: permissions, passwords, throttling's subjects, the chain of the audit trail."""
