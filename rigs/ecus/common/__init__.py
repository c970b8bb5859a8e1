"""What every reference ECU is built on: layouts, communication, two mains."""
