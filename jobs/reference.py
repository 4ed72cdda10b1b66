"""Reference tables for flights: the operator and the place below."""

from __future__ import annotations

import math
from typing import Any

#: Operators by their ICAO code, the first three letters of the callsign. Countries are ISO 3166 codes.
OPERATORS = {
    code: {"operator": operator, "country": country}
    for code, operator, country in (
        ("AEA", "Air Europa", "ES"),
        ("AFR", "Air France", "FR"),
        ("AUA", "Austrian Airlines", "AT"),
        ("BAW", "British Airways", "GB"),
        ("BTI", "airBaltic", "LV"),
        ("CCM", "Air Corsica", "FR"),
        ("CRL", "Corsair", "FR"),
        ("CTM", "French Air and Space Force", "FR"),
        ("DAH", "Air Algérie", "DZ"),
        ("EIN", "Aer Lingus", "IE"),
        ("EJU", "easyJet Europe", "AT"),
        ("ENT", "Enter Air", "PL"),
        ("EZY", "easyJet UK", "GB"),
        ("FDX", "FedEx Express", "US"),
        ("IBE", "Iberia", "ES"),
        ("JAL", "Japan Airlines", "JP"),
        ("JFA", "Jetfly", "LU"),
        ("MSR", "EgyptAir", "EG"),
        ("NJE", "NetJets Europe", "PT"),
        ("PGT", "Pegasus Airlines", "TR"),
        ("QTR", "Qatar Airways", "QA"),
        ("RYR", "Ryanair", "IE"),
        ("SVA", "Saudia", "SA"),
        ("TAP", "TAP Air Portugal", "PT"),
        ("TAR", "Tunisair", "TN"),
        ("TVF", "Transavia France", "FR"),
        ("VJT", "VistaJet", "MT"),
        ("VLG", "Vueling", "ES"),
        ("WZZ", "Wizz Air", "HU"),
    )
}
OTHER_OPERATOR = {"operator": "other", "country": "unknown"}

#: The best-known place in each cell of one by one degree, which is named after its south-western corner.
CELLS = {
    cell: {"cell": cell, "place": place}
    for cell, place in (
        ("N47E000", "Tours"),
        ("N47E001", "Orléans"),
        ("N47E002", "Gien"),
        ("N47E003", "Auxerre"),
        ("N48E000", "Alençon"),
        ("N48E001", "Chartres"),
        ("N48E002", "Paris"),
        ("N48E003", "Sens"),
        ("N48E004", "Troyes"),
        ("N49E000", "Bernay"),
        ("N49E001", "Rouen"),
        ("N49E002", "Beauvais"),
        ("N49E003", "Laon"),
        ("N49E004", "Reims"),
    )
}


def operator_code(row: dict[str, Any]) -> str:
    """Return the ICAO code of a flight's operator."""
    return str(row["callsign"])[:3]


def cell_of(row: dict[str, Any]) -> str | None:
    """Return the cell of a flight, ``None`` if it has no position."""
    latitude, longitude = row["latitude"], row["longitude"]
    if latitude is None or longitude is None:
        return None
    south, west = math.floor(latitude), math.floor(longitude)
    return f"{'S' if south < 0 else 'N'}{abs(south):02d}{'W' if west < 0 else 'E'}{abs(west):03d}"
