"""The key server: enrolment and the signed roster."""
